// The schemas are read from these modules' files, each by its version: schemas.py names them. Nothing is built.
module example.com/schemas

go 1.21
