{
  "format": "a3cp-signature/1",
  "key_id": "a39a9eb9dca770e4",
  "signature": "q1a3rSEmzKGmj5QrD2GevOZllNI0X/NPt6Qng6wo+NgAwsPGw6LWCpGnBlubmE8K3DWyEhMLocFDAisNvAwtAg=="
}
