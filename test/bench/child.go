package main

const childCommand = "child"

func serveChild(string) error { return nil }
