package test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What nobody runs rots: every row of the benchmark is measured, if only for a moment.
func TestBench_EveryRowCanBeMeasured(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-o", program, "./bench").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program, "-quick", "-manager", filepath.Join(binaries(t), "flow-manager")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	table := string(out)
	for _, row := range []string{
		"declare -> running", "declared at once", "first exit", "update: old's exit", "declarations accepted", "one alone", "client -> flow -> client",
		"hub alone", "status events to 50 sessions", "get_container_status", "list_containers", "idle flows: resync", "killed and started",
	} {
		if !strings.Contains(table, row) {
			t.Errorf("there is no row %q:\n%s", row, table)
		}
	}
}
