{
  "format": "a3cp-signature/1",
  "key_id": "a39a9eb9dca770e4",
  "signature": "DqbHxS6sj4YGplDOf/2S7hRBG6VSAmgKVZnidbtM58vBI/d1lEFizL2J99u7LS0NKDlE8jOaK8KtclMkvieuDw=="
}
