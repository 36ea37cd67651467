package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// message is what to send to a container, and how long it may take to get there and, where a reply is wanted, back.
type message struct {
	to    string
	body  json.RawMessage
	reply bool
	limit time.Duration
}

func (a *app) sendCommand() *cobra.Command {
	var m message
	cmd := &cobra.Command{
		Use:   "send NAME|ID JSON|- [--reply]",
		Short: "Send a message to the code inside a container",
		Long:  "Send a message, a JSON object, to the code inside a container; with - it is read from stdin. A reply is printed as JSON.",
		Example: `  flowctl send hello '{"type":"hello-there"}' --reply
  flowctl send hello - <message.json`,
		Args: arguments(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			m.to = args[0]
			if m.limit <= 0 {
				return usagef("--send-timeout must be more than 0")
			}
			if m.body, err = a.messageBody(cmd.Context(), args[1]); err != nil {
				return err
			}
			return a.send(cmd.Context(), m)
		},
	}
	a.completeNames(cmd, 1)
	cmd.Flags().BoolVar(&m.reply, "reply", false, "wait for the reply and print it")
	cmd.Flags().DurationVar(&m.limit, "send-timeout", 30*time.Second, "how long the message may wait for its container, and for the reply")
	return cmd
}

func (a *app) messageBody(ctx context.Context, text string) (json.RawMessage, error) {
	body := []byte(text)
	if text == "-" {
		var err error
		if body, err = readAll(ctx, a.stdin, maxOut); err != nil {
			return nil, fmt.Errorf("read stdin: %w", err)
		}
	}
	body = bytes.TrimSpace(body)
	if !bytes.HasPrefix(body, []byte("{")) {
		return nil, usagef(`the message must be a JSON object, like {"type":"hello-there"}`)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, usagef("the message is not valid JSON: %w", err)
	}
	return body, nil
}

func (a *app) send(ctx context.Context, m message) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	request := map[string]any{
		"container_id": m.to, "message": m.body, "timeout_seconds": m.limit.Seconds(), "expect_reply": m.reply,
	}
	var answer json.RawMessage
	// The answer comes when the message has been delivered, or its reply has come.
	if err := a.askWithin(ctx, m.limit+a.timeout, c, api.SendMessage, request, &answer); err != nil {
		return err
	}
	if m.reply {
		return a.printReply(answer)
	}
	if a.output != "table" {
		return a.printObjects([]json.RawMessage{answer}, false)
	}
	return a.say("sent to %s", m.to)
}

func (a *app) printReply(answer json.RawMessage) error {
	var body struct {
		Reply json.RawMessage `json:"reply"`
	}
	if err := json.Unmarshal(answer, &body); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(body.Reply) == 0 {
		return fmt.Errorf("%w: no reply in the answer", errMalformed)
	}
	if a.output == "table" {
		return a.printLine(body.Reply)
	}
	return a.printObjects([]json.RawMessage{body.Reply}, false)
}
