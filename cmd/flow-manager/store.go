package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/flow-manager/flow-manager/store"
)

// storeSettings are what the commands of store were told.
type storeSettings struct {
	DataDir string `koanf:"data-dir"`
	RunDir  string `koanf:"run-dir"`
}

func storeCommand() *cobra.Command {
	s := &storeSettings{}
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Backs up, checks and restores what is declared",
		Args:  knownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := cmd.PersistentFlags()
	f.String("config", "", "YAML file of the manager's settings; flags and "+envPrefix+"* variables win over it")
	f.String("data-dir", defaultDataDir(), "folder of the store")
	f.String("run-dir", defaultRunDir(), "folder of the running manager's "+adminSocket)
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return s.read(cmd) }
	cmd.AddCommand(backupCommand(s), checkCommand(s), restoreCommand(s), discardCommand(s))
	return cmd
}

// read takes the same settings as serve, and leaves alone those that are not about the store.
func (s *storeSettings) read(cmd *cobra.Command) error {
	k, err := layers(cmd)
	if err != nil {
		return err
	}
	if err := k.Unmarshal("", s); err != nil {
		return usageError{fmt.Errorf("read the settings: %w", err)}
	}
	var dataErr, runErr error
	s.DataDir, dataErr = filepath.Abs(s.DataDir)
	s.RunDir, runErr = filepath.Abs(s.RunDir)
	return errors.Join(dataErr, runErr)
}

func backupCommand(s *storeSettings) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copies the store into FILE, whether the manager runs or not",
		Long: `Copies the store into FILE as it stands between two changes: from the running manager, through admin.sock in its run directory,
or from the file while none runs. FILE is there whole and checked, or not at all. It holds everything that was declared, secrets
in environments included, so that only its owner may read it.`,
		Args: arguments(cobra.ExactArgs(1), "FILE, where the backup is to be"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := store.Save(args[0], force, func(w io.Writer) error { return backUp(cmd.Context(), s, w) })
			if errors.Is(err, store.ErrExists) {
				return usageError{fmt.Errorf("%w; name another one, or say --force to replace it", err)}
			}
			if err != nil {
				return err
			}
			warn(cmd, &r)
			fmt.Fprintln(cmd.OutOrStdout(), said(&r))
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE where there is one")
	return cmd
}

// backUp copies the store of the manager that runs, or that of none.
func backUp(ctx context.Context, s *storeSettings, w io.Writer) error {
	err := askRunning(ctx, s, w)
	if !errors.Is(err, errNobody) {
		return err
	}
	stopped := store.BackupStopped(s.DataDir, w)
	if errors.Is(stopped, store.ErrInUse) {
		return fmt.Errorf("%w, and %w; name the --run-dir that it was started with", stopped, err)
	}
	return stopped
}

func said(r *store.Report) string {
	return fmt.Sprintf("%s: %d bytes, %d containers, revision %d", r.Path, r.Size, r.Containers, r.Revision)
}

// warn names records that cannot be relied upon; the rest of the store can.
func warn(cmd *cobra.Command, r *store.Report) {
	for _, problem := range r.Problems {
		fmt.Fprintln(cmd.ErrOrStderr(), "damaged:", problem)
	}
}

func checkCommand(s *storeSettings) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Checks a backup, or the store while no manager runs",
		Args:  arguments(cobra.MaximumNArgs(1), "one FILE, or none for the store itself"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := append(args, store.Path(s.DataDir))[0]
			r, err := store.Check(file)
			switch {
			case errors.Is(err, store.ErrInUse):
				return fmt.Errorf("%w; stop the manager, or make a backup with flow-manager store backup and check that", err)
			case err != nil:
				return err
			case len(r.Problems) > 0:
				warn(cmd, &r)
				return fmt.Errorf("%s: %w: %d problems; the manager runs without these records and leaves their containers alone. "+
					"Restore a backup, or give them up with flow-manager store discard", file, store.ErrDamaged, len(r.Problems))
			}
			fmt.Fprintln(cmd.OutOrStdout(), said(&r))
			return nil
		},
	}
}

func restoreCommand(s *storeSettings) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Puts a backup in the place of the store, while no manager runs",
		Long: `Puts a copy of FILE in the place of the store, while no manager runs, and keeps the store that stood there beside it.

A backup declares what was deleted since it was made, and knows nothing of what was made since. So the manager only looks at
first: it opens the flows' sockets, answers clients, and says at /readyz what it would do. Once that is right, start it a single time
with --accept-restore. Containers that the backup does not know are left alone, now and then.`,
		Args: arguments(cobra.ExactArgs(1), "FILE, the backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, kept, err := store.Restore(s.DataDir, args[0], store.Options{Fail: failpoint()})
			if errors.Is(err, store.ErrInUse) {
				return fmt.Errorf("%w; stop the manager first", err)
			}
			if err != nil {
				return err
			}
			warn(cmd, &r)
			fmt.Fprintln(cmd.OutOrStdout(), "restored from", said(&r))
			if kept != "" {
				fmt.Fprintln(cmd.OutOrStdout(), "the store of before is", kept)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the manager does nothing by it until it is started once with: flow-manager serve --accept-restore")
			return nil
		},
	}
}

func discardCommand(s *storeSettings) *cobra.Command {
	return &cobra.Command{
		Use:   "discard CONTAINER",
		Short: "Gives up the damaged record of a container, while no manager runs",
		Long: `Gives up the record in quarantine of a container, by its id or name as flow-manager store check shows them, while no manager runs. The
name can be declared again. The container belongs to nobody then: it stays as it is, and is yours to remove.`,
		Args: arguments(cobra.ExactArgs(1), "CONTAINER, whose record is damaged"),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := store.Discard(s.DataDir, args[0])
			if errors.Is(err, store.ErrInUse) {
				return fmt.Errorf("%w; stop the manager first", err)
			}
			return err
		},
	}
}
