package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// report is the table and what it was made on.
type report struct {
	quick    bool
	began    time.Time
	took     time.Duration
	host     []string
	findings []finding
	failed   []error
}

func (r *report) add(found []finding, err error) {
	for _, f := range found {
		if r.quick && f.verdict != notMeasured {
			f.verdict = notJudged
		}
		r.findings = append(r.findings, f)
	}
	if err != nil {
		r.failed = append(r.failed, err)
	}
}

func (r *report) err() error { return errors.Join(r.failed...) }

func headings() []string {
	return []string{"work", "flow-manager", "yardstick", "against it", "A/A", "to hold", ""}
}

func (f *finding) cells() []string {
	return []string{f.work, f.ours, f.yardstick, f.versus, f.noise, f.hold, string(f.verdict)}
}

// text is the table for a terminal.
func (r *report) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(headings(), "\t"))
	for _, f := range r.findings {
		fmt.Fprintln(w, strings.Join(f.cells(), "\t"))
	}
	_ = w.Flush() // a Builder takes everything
	for _, note := range r.notes() {
		fmt.Fprintln(&b, note)
	}
	fmt.Fprintf(&b, "%s, in %.0f s\n", strings.Join(r.host, ", "), r.took.Seconds())
	return b.String()
}

func (r *report) notes() []string {
	var notes []string
	for _, f := range r.findings {
		if f.note != "" {
			notes = append(notes, "- "+f.work+": "+f.note)
		}
	}
	return notes
}

// markdown is the table for people who have not run it.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", preface)
	if r.quick {
		fmt.Fprint(&b, "This is a quick run: too few repetitions to judge anything by.\n\n")
	}
	for _, fact := range r.host {
		fmt.Fprintf(&b, "- %s\n", fact)
	}
	fmt.Fprintf(&b, "- %s, in %.0f s\n\n", r.began.UTC().Format(time.DateOnly), r.took.Seconds())
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(headings(), " | "), strings.Repeat(" --- |", len(headings())))
	for _, f := range r.findings {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(f.cells(), " | "))
	}
	fmt.Fprintf(&b, "\n%s\n", strings.Join(r.notes(), "\n"))
	return b.String()
}

const preface = `# Benchmarks

` + "`make bench`" + ` writes this file. It measures the manager against what the same machine does without it: yardstick and manager in
turns, in one run. A/A is the yardstick against itself, in the same turns: what does not clearly differ by more is noise. ` + "`make\nbench ROWS=declare,fanout`" + ` measures some rows, ` + "`QUICK=1`" + ` sees that they work. Times are medians unless they say otherwise;
where there are three figures, the ones in parentheses are the extremes of the rounds.
`
