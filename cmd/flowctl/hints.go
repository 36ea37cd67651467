package main

import "strings"

// hints are what the server advises in the words of its requests, and what that is here.
var hints = strings.NewReplacer(
	"list_containers names all", "flowctl get lists all",
	"update_container with retry", "flowctl update --retry",
	"apply_container to change", "flowctl apply to change",
	"explain_container says", "flowctl explain says",
	"stop_logs one of them", "end one of them",
)
