package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/flow-manager/flow-manager/api/socketio"
)

var (
	sessionsDesc = prometheus.NewDesc("flow_manager_sessions", "Clients that are joined.", nil, nil)
	refusalsDesc = prometheus.NewDesc("flow_manager_client_faults_total", "What clients were refused or cut off for, by reason.", []string{"reason"}, nil)
)

// sessionCounts shows what the transport counts.
type sessionCounts struct{ transport *socketio.Transport }

// Describe implements prometheus.Collector.
func (s sessionCounts) Describe(ch chan<- *prometheus.Desc) {
	ch <- sessionsDesc
	ch <- refusalsDesc
}

// Collect implements prometheus.Collector.
func (s sessionCounts) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(sessionsDesc, prometheus.GaugeValue, float64(s.transport.Sessions()))
	for reason, n := range s.transport.Counts() {
		ch <- prometheus.MustNewConstMetric(refusalsDesc, prometheus.CounterValue, float64(n), reason)
	}
}
