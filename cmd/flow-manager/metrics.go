package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/flow-manager/flow-manager/api/socketio"
	"github.com/flow-manager/flow-manager/sockets"
	"github.com/flow-manager/flow-manager/store"
)

var (
	sessionsDesc = prometheus.NewDesc("flow_manager_sessions", "Clients that are joined.", nil, nil)
	refusalsDesc = prometheus.NewDesc("flow_manager_client_faults_total", "What clients were refused or cut off for, by reason.", []string{"reason"}, nil)
	faultsDesc   = prometheus.NewDesc("flow_manager_flow_faults_total", "What flows did amiss at their sockets, by reason.", []string{"reason"}, nil)
)

// flowCounts shows what the hub counts.
type flowCounts struct{ hub *sockets.Hub }

// Describe implements prometheus.Collector.
func (f flowCounts) Describe(ch chan<- *prometheus.Desc) { ch <- faultsDesc }

// Collect implements prometheus.Collector.
func (f flowCounts) Collect(ch chan<- prometheus.Metric) {
	for reason, n := range f.hub.Counts() {
		ch <- prometheus.MustNewConstMetric(faultsDesc, prometheus.CounterValue, float64(n), reason)
	}
}

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

func quarantinedRecords(s *store.Store) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "flow_manager_quarantined_records",
		Help: "Damaged records of the store, whose containers are left alone."}, func() float64 { return float64(len(s.Quarantined())) })
}

func storeWritable(s *store.Store) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "flow_manager_store_writable", Help: "1 while commits to the store work."}, func() float64 {
		if s.Err() != nil {
			return 0
		}
		return 1
	})
}
