package api

import (
	"slices"
	"strconv"
	"strings"
)

// The highest signal, and how far the real-time signals are named from either end.
const (
	maxSignal    = 64
	fromRealMin  = 15 // RTMIN+1 to RTMIN+15
	belowRealMax = 14 // RTMAX-1 to RTMAX-14
)

// IsSignal accepts what the engine does: SIGTERM, TERM, 15, SIGRTMIN+3, in whatever case. SIG15 is none.
func IsSignal(signal string) bool {
	if isNumber(signal, maxSignal) {
		return true
	}
	name := strings.TrimPrefix(strings.ToUpper(signal), "SIG")
	if n, ok := strings.CutPrefix(name, "RTMIN+"); ok {
		return isNumber(n, fromRealMin)
	}
	if n, ok := strings.CutPrefix(name, "RTMAX-"); ok {
		return isNumber(n, belowRealMax)
	}
	return slices.Contains(signalNames(), name)
}

// isNumber tells a number of 1 to high, without leading zeros or signs.
func isNumber(digits string, high int) bool {
	n, err := strconv.Atoi(digits)
	return err == nil && n >= 1 && n <= high && strconv.Itoa(n) == digits
}

func signalNames() []string {
	return strings.Fields("ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP " +
		"TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX")
}
