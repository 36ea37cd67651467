package api

import "fmt"

// The words that the test of a health check begins with.
const (
	CheckNone  = "NONE"
	CheckExec  = "CMD"
	CheckShell = "CMD-SHELL"
)

// CheckWithoutCommand tells a test that has nothing to run. Docker's engine 20.10 dies of the first probe of such a check, and
// again at each start of its container, and takes all other containers of the host with it.
func CheckWithoutCommand(test []string) bool {
	runs := len(test) > 0 && (test[0] == CheckExec || test[0] == CheckShell)
	return runs && (len(test) == 1 || test[1] == "")
}

func (v *validation) healthcheck(h *Healthcheck) {
	if h == nil {
		return
	}
	v.healthTest(h.Test)
	v.between("healthcheck.interval_seconds", h.Interval, 0, 86400)
	v.between("healthcheck.timeout_seconds", h.Timeout, 0, 86400)
	v.between("healthcheck.retries", h.Retries, 0, 1000)
	v.between("healthcheck.start_period_seconds", h.StartPeriod, 0, 86400)
}

func (v *validation) healthTest(test []string) {
	const field = "healthcheck.test"
	first := ""
	if len(test) > 0 {
		first = test[0]
	}
	v.oneOf(field, first, CheckNone, CheckExec, CheckShell)
	switch {
	case first == CheckNone && len(test) > 1:
		v.check(false, field, "NONE stands alone; leave out what follows it, or use CMD to have it run")
	case first == CheckShell && len(test) > 2:
		v.check(false, field, "CMD-SHELL is followed by one string, the whole command line; join what follows it, or use CMD")
	case (first == CheckExec || first == CheckShell) && len(test) == 1:
		v.check(false, field, "%s is not followed by what is to be run; add it, or use NONE", first)
	case len(test) > 0 && first != "":
		v.healthWords(field, test)
	}
}

func (v *validation) healthWords(field string, test []string) {
	for i, word := range test {
		at := fmt.Sprintf("%s[%d]", field, i)
		v.check(word != "", at, "is empty; leave it out, or write what is to be run")
		v.word(at, word)
	}
}
