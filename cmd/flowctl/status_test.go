package main

import (
	"strings"
	"testing"
)

const statusAnswer = `{"ok":true,"container_id":"id-web","name":"web","state":"running","health":"healthy","uptime":"0:10:30",
	"uptime_seconds":630,"socket_connected":true,"last_communication":null,"restart_count":2,"next_restart_at":null,
	"conditions":[{"type":"Ready","status":"True","reason":"Running","message":"up \u001b[1m"},{"type":"Progressing","status":"False","reason":"","message":""}],
	"resource_usage":{"cpu_percent":12.34,"memory_usage":1572864,"memory_limit":1073741824,"memory_percent":0.14,
	"network_rx_bytes":2048,"network_tx_bytes":0,"disk_read_bytes":0,"disk_write_bytes":1,"pids":3,"timestamp":"2025-01-01T00:00:00Z"}}`

func TestStatus(t *testing.T) {
	f := newFake(t)
	f.on["get_container_status"] = func(s *session, r request) { s.ack(r, statusAnswer) }
	wants(t, flowctl(t, "", "status", "web"), result{Out: `Name                 web
ID                   id-web
State                running
Health               healthy
Uptime               0:10:30
Restarts             2
Next restart         -
Socket connected     true
Last communication   -
Ready                True Running up \x1b[1m
Progressing          False
CPU                  12.3%
Memory               1.5MiB of 1GiB (0.1%)
Network              2KiB in, 0B out
Disk                 0B read, 1B written
Processes            3
`})
	got := flowctl(t, "", "status", "web", "-o", "yaml")
	if got.Code != exitOK || !strings.Contains(got.Out, "\nuptime_seconds: 630\n") {
		t.Errorf("got %+v", got)
	}
	asked(t, f, request{Event: "get_container_status", Body: map[string]any{"container_id": "web"}},
		request{Event: "get_container_status", Body: map[string]any{"container_id": "web"}})
}
