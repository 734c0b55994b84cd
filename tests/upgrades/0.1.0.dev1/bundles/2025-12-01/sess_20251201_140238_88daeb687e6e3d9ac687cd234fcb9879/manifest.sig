{
  "format": "a3cp-signature/1",
  "key_id": "b93ccf04d7d28a6f",
  "signature": "ejCmH/i+eZC6AeeCJG84C06atMxQU4L1C/mJ+vd9LKgKQcVRVr12+cx1eVCYO88cJ5Z9qHIX1B81Cdl62GklBg=="
}
