{
  "format": "a3cp-signature/1",
  "key_id": "f0e8012c0488b3da",
  "signature": "5vO2o0UD/LWw/9sFb8cCXlgIJw1NKHD9f64jySTwpZRXzASNZY3cyNoig8cr62XZYURFk69WjR/soCXBzvsJDQ=="
}
