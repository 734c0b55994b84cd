{
  "format": "a3cp-signature/1",
  "key_id": "b93ccf04d7d28a6f",
  "signature": "rLQu6SCEunMZ8qWXgr6EF9gh6i86bK+1fnEYn2QFVHVs5VNxIxzfZEpdxuJKwS3XsFKUmZkuLvffp/Ngz3PDBw=="
}
