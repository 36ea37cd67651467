package api

import _ "embed"

//go:embed asyncapi.yaml
var asyncAPI string

// AsyncAPI is the description of all requests and events, an AsyncAPI 3 document in YAML. Tests hold it and the code to each other.
func AsyncAPI() string { return asyncAPI }
