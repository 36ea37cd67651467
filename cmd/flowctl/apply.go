package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

func (a *app) applyCommand() *cobra.Command {
	var files []string
	var m manner
	cmd := &cobra.Command{
		Use:        "apply -f FILE... [--dry-run] [--wait] [--wait-for STATE]",
		SuggestFor: []string{"create", "run", "up"},
		Short:      "Declare containers from YAML or JSON",
		Long: `Declare containers from YAML or JSON. What is new is created, what differs is updated, what is the same stays untouched.

A file may have several documents: YAML's separated by ---, JSON's one after the other. Each is what get --export prints, or
get -o yaml, of which what was observed is left out. Nothing is sent unless all of them can be declared.`,
		Example: `  flowctl apply -f hello.yaml --wait
  flowctl apply -f a.yaml -f b.json --dry-run
  flowctl get --export | flowctl apply -f - --context other
  printf 'name: hello\nimage: alpine\n' | flowctl apply -f -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("give each file with -f: %q stands alone", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFiles(files); err != nil {
				return err
			}
			if err := m.check(cmd); err != nil {
				return err
			}
			return a.apply(cmd.Context(), files, m)
		},
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "`file` of documents, or - for stdin; may be given again")
	a.addRunFlags(&m, cmd, "they are created or updated")
	return cmd
}

func checkFiles(files []string) error {
	if len(files) == 0 {
		return usagef("say what to apply: flowctl apply -f FILE")
	}
	first := slices.Index(files, "-")
	if first >= 0 && slices.Contains(files[first+1:], "-") {
		return usagef("stdin can be read only once: give -f - once")
	}
	return nil
}

func (a *app) apply(ctx context.Context, files []string, m manner) error {
	documents, err := readDocuments(ctx, files, a.stdin)
	if err != nil {
		return err
	}
	if documents, err = declarable(documents); err != nil {
		return err
	}
	orders := make([]order, 0, len(documents))
	for _, d := range documents {
		body := make(map[string]any, len(d.body)+1)
		for key, value := range d.body {
			body[key] = value
		}
		orders = append(orders, order{
			event: api.ApplyContainer, name: d.name(), body: body, about: d.where,
			answers: []string{api.ContainerCreated, api.ContainerUpdated},
		})
	}
	return a.declare(ctx, orders, m, createdOrUpdated)
}

// createdOrUpdated knows a new container by its first generation, of which nothing has been observed: a change of labels
// leaves the generation as it is.
func createdOrUpdated(ack accepted) string {
	if ack.Generation == 1 && ack.fresh {
		return "created"
	}
	return "updated"
}
