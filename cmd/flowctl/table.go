package main

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/flow-manager/flow-manager/api"
)

// table has one row a line, and as many cells in each as in its header, which may be nil.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// fact adds what is known.
func (t *table) fact(name, value string) {
	if value != "" {
		t.add(name, value)
	}
}

// time adds a time that there is, and how long ago it was or how soon it will be.
func (t *table) time(name string, at *time.Time, now time.Time) {
	switch {
	case at == nil:
	case at.After(now):
		t.add(name, fmt.Sprintf("%s (in %s)", moment(*at), age(at.Sub(now))))
	default:
		t.add(name, ago(*at, now))
	}
}

// text lays the cells out in columns; what is empty is shown as a dash.
func (t *table) text() []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	if t.header != nil {
		fmt.Fprintln(w, strings.Join(t.header, "\t"))
	}
	for _, row := range t.rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = orDash(api.Printable(cell))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // a buffer takes everything
	return b.Bytes()
}

// columns lay out rows that come one by one: a column grows with its widest cell so far. The last one, in which a message of a
// mebibyte may stand, has no width.
type columns struct{ widths []int }

func (c *columns) text(rows ...[]string) []byte {
	var b bytes.Buffer
	shown := make([][]string, len(rows))
	for i, row := range rows {
		shown[i] = c.fit(row)
	}
	for _, row := range shown {
		for i, cell := range row[:len(row)-1] {
			fmt.Fprintf(&b, "%-*s", c.widths[i]+3, cell)
		}
		fmt.Fprintln(&b, row[len(row)-1])
	}
	return b.Bytes()
}

func (c *columns) fit(row []string) []string {
	cells := make([]string, len(row))
	for i, cell := range row {
		cells[i] = orDash(api.Printable(cell))
	}
	for i, cell := range cells[:len(cells)-1] {
		if i == len(c.widths) {
			c.widths = append(c.widths, 0)
		}
		c.widths[i] = max(c.widths[i], utf8.RuneCountInString(cell))
	}
	return cells
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// age is a duration in its one unit that tells most: 90s, 12m, 30h, 5d.
func age(d time.Duration) string {
	switch d = max(0, d); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}
