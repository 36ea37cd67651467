package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == childCommand {
		exit(serveChild(os.Args[2]))
	}
	var (
		only   = flag.String("rows", "", "comma-separated rows to measure: "+strings.Join(names(allRows()), ", ")+" (default all)")
		quick  = flag.Bool("quick", false, "few repetitions, to see that all of it works; nothing is judged")
		binary = flag.String("manager", "bin/flow-manager", "the program to measure")
		out    = flag.String("out", "", "file that gets the table as Markdown")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, *only, *binary, *out, *quick))
}

func exit(err error) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// run measures the rows and reports them; a row that could not be measured has an error for its line, and ends nothing else.
func run(ctx context.Context, only, binary, out string, quick bool) (err error) {
	rows, err := choose(allRows(), only)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, binary, quick)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.cleanUp()) }()
	r := report{quick: quick, began: time.Now(), host: b.describe(ctx)}
	for _, one := range rows {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		r.add(measure(ctx, b, one))
	}
	r.took = time.Since(r.began)
	fmt.Print(r.text())
	if out != "" {
		err = os.WriteFile(out, []byte(r.markdown()), 0o644)
	}
	return errors.Join(err, r.err())
}

// measure runs one row in a part of the bench that is cleaned up before the next row begins.
func measure(ctx context.Context, b *bench, one row) ([]finding, error) {
	began := time.Now()
	fmt.Fprintf(os.Stderr, "%-8s ..", one.name)
	found, err := one.measure(ctx, b)
	err = errors.Join(err, b.tidy())
	fmt.Fprintf(os.Stderr, " %.1f s\n", time.Since(began).Seconds())
	if err != nil {
		err = fmt.Errorf("%s: %w", one.name, err)
		found = append(found, finding{work: one.name, note: err.Error(), verdict: notMeasured})
	}
	return found, err
}
