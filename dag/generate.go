package dag

//go:generate go run ./diagram ../ARCHITECTURE.md
