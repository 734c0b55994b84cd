{
  "format": "a3cp-signature/1",
  "key_id": "f0e8012c0488b3da",
  "signature": "SH/2kenX82ti7vAOrT2IlJVcZeLSUJDdoizprmy7CuwYWSq0WQjIiGkBMpavY6D/kyxUcWR3XEmsim2dVXbADw=="
}
