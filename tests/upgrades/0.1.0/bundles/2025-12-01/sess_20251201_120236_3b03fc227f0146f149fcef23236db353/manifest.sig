{
  "format": "a3cp-signature/1",
  "key_id": "f0e8012c0488b3da",
  "signature": "oxrz30vp7RA3jJWHufx0QrgnjqPI8L9P2kWYIjNUkOrIsiJYfuXzKV+6CJln1pgoeigqgYJioUG1Dg14ni7TDg=="
}
