package test

import "testing"

// Whoever reads the log may stop: work goes on, and clients are told what is lost.
func TestLog_NobodyReads(t *testing.T) {
	t.Parallel()
	m := newManager(t, "--max-requests-per-second", "100000")
	c := m.dial()
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	for range 8000 { // the pipe and what waits behind it hold fewer lines
		c.busy(t)
	}
	c.hearsOfLoss(t)
}

// A reader that is gone does not take the manager with it.
func TestLog_ItsReaderIsGone(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	c := m.dial()
	m.log.from.Close()
	c.busy(t)
	c.hearsOfLoss(t)
	c.busy(t)
}

// busy makes the manager write a line.
func (c *wsClient) busy(t *testing.T) {
	t.Helper()
	if _, err := c.ask("list_containers", object{"limit": 1}); err != nil {
		t.Fatalf("work does not go on: %v", err)
	}
}

func (c *wsClient) hearsOfLoss(t *testing.T) {
	t.Helper()
	loss, err := c.await("logging_error", func(object) bool { return true })
	if err != nil || loss["message"] == "" || loss["dropped"].(float64) < 1 {
		t.Fatalf("told of the loss: %v, %v", loss, err)
	}
}
