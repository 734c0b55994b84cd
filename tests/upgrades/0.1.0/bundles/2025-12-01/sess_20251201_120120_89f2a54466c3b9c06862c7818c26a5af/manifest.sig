{
  "format": "a3cp-signature/1",
  "key_id": "a39a9eb9dca770e4",
  "signature": "GOxYs8XrRAAe2uc44zBbSmCWyP/9v/ec1lGMNZXIlmjMgR1ShvmHXi3QIv4e7ZAuWa9PqpjWSpjHNe5seCUvDA=="
}
