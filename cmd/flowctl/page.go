package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// A reader gets what a command shows of one container; a page makes that readable for people.
type (
	reader func(ctx context.Context, c *Client, name string) (json.RawMessage, error)
	page   func(body json.RawMessage, now time.Time) ([]byte, error)
)

// eachName shows what read gets of each container: pages with a line between, or all objects.
func (a *app) eachName(ctx context.Context, names []string, read reader, page page) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	objects, failures, err := a.collect(ctx, c, names, read)
	if err == nil {
		err = a.showPages(objects, len(names) > 1, page)
	}
	if err != nil {
		return err
	}
	return failures.orNil()
}

// collect reads of each container; of several, one that is refused does not hide the others.
func (a *app) collect(ctx context.Context, c *Client, names []string, read reader) ([]json.RawMessage, several, error) {
	var objects []json.RawMessage
	var failures several
	for _, name := range names {
		object, err := read(ctx, c, name)
		switch {
		case err == nil:
			objects = append(objects, object)
		case refused(err) && len(names) > 1:
			failures = append(failures, fmt.Errorf("%s: %w", name, err))
		default:
			return nil, nil, err
		}
	}
	return objects, failures, nil
}

func (a *app) showPages(objects []json.RawMessage, list bool, page page) error {
	if a.output != "table" && len(objects) > 0 {
		return a.printObjects(objects, list)
	}
	var pages [][]byte
	for _, o := range objects {
		text, err := page(o, time.Now())
		if err != nil {
			return err
		}
		pages = append(pages, text)
	}
	return a.write(bytes.Join(pages, []byte("\n")))
}

// section is a headline and what stands below it, moved in; without anything there is no headline.
func section(headline string, body []byte) []byte {
	if len(body) == 0 {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintln(&b, headline+":")
	for line := range bytes.Lines(body) {
		b.WriteString("  ")
		b.Write(line)
	}
	return b.Bytes()
}

// ago is when something was, and how long before now.
func ago(t, now time.Time) string {
	return fmt.Sprintf("%s (%s ago)", moment(t), age(now.Sub(t)))
}

// moment is a time to the second, as it is in JSON.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
