{
  "format": "a3cp-signature/1",
  "key_id": "b93ccf04d7d28a6f",
  "signature": "qfqzjacgJk1YyFosNboZWbE5Y3vbnHupcV5m2AYk0t5c48UFCSTE34nPBMBjboKZ0eUDCdfCPtIRLesd4VMpDg=="
}
