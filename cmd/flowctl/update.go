package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/api"
)

// edit is what to change of containers.
type edit struct {
	code  string
	image string
	patch string
	pull  bool
	retry bool
}

func (a *app) updateCommand() *cobra.Command {
	var e edit
	var cmd *cobra.Command
	cmd = a.declaring(&cobra.Command{
		Use:        "update NAME|ID... [--image REF] [--code PATH] [--patch JSON|@FILE] [--pull] [--retry] [--wait]",
		SuggestFor: []string{"patch", "edit", "set"},
		Short:      "Change what is given of containers, and leave the rest",
		Long: `Change what is given of containers, and leave the rest. A patch is a JSON merge patch of the spec, or the same in YAML: null
returns a field to its default; @FILE reads it from a file, @- from stdin. A relative code path is one of this machine.`,
		Example: `  flowctl update hello --image app:2 --wait
  flowctl update hello --patch '{"environment":{"LEVEL":"debug"}}' --dry-run`,
	}, "they are updated", api.UpdateContainer, api.ContainerUpdated, func() (map[string]any, error) {
		return a.members(cmd.Context(), e)
	})
	flags := cmd.Flags()
	flags.StringVar(&e.image, "image", "", "image `reference` to run")
	flags.StringVar(&e.code, "code", "", "`folder` of the manager's host to take the code from")
	flags.StringVar(&e.patch, "patch", "", "merge `patch` of the spec, or @FILE")
	flags.BoolVar(&e.pull, "pull", false, "look the image's tag up anew")
	flags.BoolVar(&e.retry, "retry", false, "try again what was taken back")
	return cmd
}

// members are those of the request.
func (a *app) members(ctx context.Context, e edit) (map[string]any, error) {
	members := map[string]any{}
	spec, err := a.patch(ctx, e)
	if err != nil {
		return nil, err
	}
	if len(spec) > 0 {
		members["spec"] = spec
	}
	code, err := absolute(e.code)
	if err != nil {
		return nil, fmt.Errorf("find the code: %w", err)
	}
	if code != "" {
		members["code_path"] = code
	}
	if e.pull {
		members["pull"] = true
	}
	if e.retry {
		members["retry"] = true
	}
	if len(members) == 0 {
		return nil, usagef("say what to update: --image, --code, --patch, --pull or --retry")
	}
	return members, nil
}

func (a *app) patch(ctx context.Context, e edit) (map[string]json.RawMessage, error) {
	spec, err := a.readPatch(ctx, e.patch)
	if err != nil || e.image == "" {
		return spec, err
	}
	if _, ok := spec["image"]; ok {
		return nil, usagef("--image and --patch both give an image: give it once")
	}
	if spec == nil {
		spec = map[string]json.RawMessage{}
	}
	spec["image"], err = encode(e.image)
	return spec, err
}

func (a *app) readPatch(ctx context.Context, text string) (map[string]json.RawMessage, error) {
	if text == "" {
		return nil, nil
	}
	where, data := "--patch", []byte(text)
	if file, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if data, err = readFile(ctx, file, a.stdin); err != nil {
			return nil, err
		}
		where = file
	}
	documents, err := parseDocuments(where, data, patches())
	switch {
	case err != nil:
		return nil, usageError{err}
	case len(documents) != 1 || len(documents[0].body) == 0:
		return nil, usagef("%s must be one object that has something in it", where)
	}
	return documents[0].body, nil
}
