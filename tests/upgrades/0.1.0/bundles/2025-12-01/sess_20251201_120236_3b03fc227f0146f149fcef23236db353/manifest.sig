{
  "format": "a3cp-signature/1",
  "key_id": "a39a9eb9dca770e4",
  "signature": "YrthJ5RQTjJOSJbb6gTCV+7Qfp//rUiG+KPGSBeNxMt5BLgo12htYt1+7kt0/xhOb9lzfaEpmj2P4hGR6DiNAA=="
}
