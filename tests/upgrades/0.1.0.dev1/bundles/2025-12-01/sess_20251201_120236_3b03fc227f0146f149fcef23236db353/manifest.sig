{
  "format": "a3cp-signature/1",
  "key_id": "b93ccf04d7d28a6f",
  "signature": "FeCKxiV0Zu5Z3XgH7cEwGf6FMDexa58/YHHJj2lT7C/AaZoi4bBYMqSfa4M/R3yWC/XBc+rijF2cvLNibGphDw=="
}
