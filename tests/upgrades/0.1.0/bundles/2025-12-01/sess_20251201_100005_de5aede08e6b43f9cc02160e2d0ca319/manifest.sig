{
  "format": "a3cp-signature/1",
  "key_id": "f0e8012c0488b3da",
  "signature": "OyMuvfBZ9R1mYKNl401faFCBvYObE1617D2bHPbCGoKvJ7AgGTlDsQ4EFyRvXoGOGdOVdjqF5ERpFsJ+nhDhDQ=="
}
