package master

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/master/archive"
	"github.com/clic-orchestrator/clic/master/lead"
	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/store/redis"
)

// What an administrator does with a store, without a master. Configurations are as for New.

// ErrLed: a master leads the store, and what was asked for needs the store alone.
var ErrLed = errors.New("a master leads this store")

// Export writes all tasks as JSON lines; see package archive. Masters may go on meanwhile, where the store is shared.
func Export(ctx context.Context, cfg Config, w io.Writer, o archive.ExportOptions) (done *archive.Exported, err error) {
	m, err := open(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return archive.Export(ctx, m.store, w, o)
}

// Import reads what Export wrote. ErrLed while a master leads.
func Import(ctx context.Context, cfg Config, r io.Reader, o archive.ImportOptions) (done *archive.Imported, err error) {
	if o.Check {
		return archive.Import(ctx, nil, 0, r, o)
	}
	err = alone(ctx, cfg, func(ctx context.Context, s store.Store, epoch uint64) (err error) {
		done, err = archive.Import(ctx, s, epoch, r, o)
		return err
	})
	return done, err
}

// Migrate takes over what the old Java master left in a Redis: that of the URL from, or where that is "" the one that the
// store is in. ErrLed while a master leads, unless o.DryRun is set.
func Migrate(ctx context.Context, cfg Config, from string, o archive.MigrateOptions) (done *archive.Migrated, err error) {
	cfg = cfg.WithDefaults()
	if from == "" {
		if from = cfg.Store; !cfg.storeIsShared() {
			return nil, errors.New("cannot migrate: the store is not in Redis, so say which Redis the old master used")
		}
	}
	if from, err = cfg.Redis.withPassword(from); err != nil {
		return nil, err
	}
	target, err := redis.ParseURL(from)
	if err != nil {
		return nil, err
	}
	old, err := target.Client()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	if o.DryRun {
		return archive.Migrate(ctx, old, nil, 0, o)
	}
	err = alone(ctx, cfg, func(ctx context.Context, s store.Store, epoch uint64) (err error) {
		done, err = archive.Migrate(ctx, old, s, epoch, o)
		return err
	})
	return done, err
}

// RebuildIndex makes the indexes of a store in Redis anew from its tasks. ErrLed while a master leads.
func RebuildIndex(ctx context.Context, cfg Config, progress func(done int)) (report redis.RebuildReport, err error) {
	if !cfg.storeIsShared() {
		return report, errors.New("cannot rebuild the indexes: only a store in Redis has indexes apart from its tasks")
	}
	err = alone(ctx, cfg, func(ctx context.Context, s store.Store, epoch uint64) (err error) {
		report, err = s.(*redis.Store).RebuildIndex(ctx, epoch, progress)
		return err
	})
	return report, err
}

// open opens the store of a configuration, and nothing else of a master.
func open(cfg Config) (*Master, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cannot use this configuration: %w", err)
	}
	m := &Master{cfg: cfg, log: cfg.Logger, started: time.Now()}
	for _, step := range []func() error{m.lockData, m.openStore} {
		if err := step(); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	return m, nil
}

// alone gives use the store and the lead, and sees to it that nobody else takes the lead meanwhile.
func alone(ctx context.Context, cfg Config, use func(context.Context, store.Store, uint64) error) (err error) {
	m, err := open(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if m.shared == nil {
		epoch, err := m.store.Lead(ctx, fmt.Sprintf("clic-master, process %d", os.Getpid()))
		if err != nil {
			return err
		}
		return use(ctx, m.store, epoch)
	}
	if m.member, err = m.self(); err != nil {
		return err
	}
	return m.asLeader(ctx, use)
}

// asLeader has the lease for as long as use takes. When it is lost, use is interrupted.
func (m *Master) asLeader(ctx context.Context, use func(context.Context, store.Store, uint64) error) (err error) {
	first := make(chan lead.State, 1)
	using, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	runner, err := lead.NewRunner(lead.Config{TTL: m.cfg.Lease}, m.member, m.shared, func(c lead.Change) {
		switch c.Kind {
		case lead.LostLead:
			interrupt(ErrLed)
		case lead.BecameLeader, lead.LeaderChanged:
			select {
			case first <- c.State:
			default:
			}
		}
	})
	if err != nil {
		return err
	}
	campaigning, stop := context.WithCancel(ctx)
	var campaign sync.WaitGroup
	campaign.Go(func() { _ = runner.Run(campaigning) })
	defer campaign.Wait()
	defer stop()
	select {
	case s := <-first:
		if s.Role != lead.Leader {
			return fmt.Errorf("%w, at %s: stop all masters of it first", ErrLed, s.Leader.Address)
		}
	case <-time.After(10 * m.cfg.Lease):
		return fmt.Errorf("cannot get the lease of the store: %w", store.ErrUnavailable)
	case <-ctx.Done():
		return ctx.Err()
	}
	epoch, err := m.store.Lead(using, m.member.ID)
	if err == nil {
		err = use(using, m.store, epoch)
	}
	if err != nil && context.Cause(using) != nil {
		err = errors.Join(err, context.Cause(using))
	}
	return err
}
