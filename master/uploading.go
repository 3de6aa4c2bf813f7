package master

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/master/store"
	"github.com/clic-orchestrator/clic/master/uploads"
)

// UploadsConfig is about what users send along with their plans.
type UploadsConfig struct {
	// Dir is where it goes [uploads.dir]: a directory that stages can read, or a URI such as hdfs:///clic/uploads. "" takes none.
	Dir string
	// MaxSize bounds one file [uploads.max-size], in bytes.
	MaxSize int64
	// Unused is how long is kept what no task uses [uploads.keep-unused].
	Unused time.Duration
}

// uploading is the uploads of a master, and what cleans up behind tasks that were deleted.
type uploading struct {
	*uploads.Store
	m    *Master
	gone chan string
	stop context.CancelFunc
	work sync.WaitGroup
}

// sweepPeriod is the time between two looks at what no task uses.
const sweepPeriod = time.Hour

// newUploading makes the uploads that the configuration asks for; nil if it asks for none.
func (m *Master) newUploading() (*uploading, error) {
	c := m.cfg.Uploads
	if c.Dir == "" {
		return nil, nil
	}
	fsys, root, err := m.files.locate(c.Dir, []string{c.Dir})
	if err != nil {
		return nil, fmt.Errorf("cannot use uploads.dir: %w", err)
	}
	s, err := uploads.New(uploads.Config{
		FS: fsys, Root: root, Base: c.Dir, Staging: filepath.Join(m.cfg.DataDir, "uploads"), MaxSize: c.MaxSize, Unused: c.Unused,
	})
	if err != nil {
		return nil, err
	}
	// More than are deleted in one go. What does not fit is found by the next sweep.
	return &uploading{Store: s, m: m, gone: make(chan string, 1000)}, nil
}

// start begins to clean up, for as long as this master leads.
func (u *uploading) start() {
	ctx, stop := context.WithCancel(context.Background())
	u.stop = stop
	u.work.Go(func() { u.run(ctx) })
}

func (u *uploading) run(ctx context.Context) {
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	for {
		var err error
		select {
		case task := <-u.gone:
			err = u.Release(ctx, task)
		case <-tick.C:
			if u.m.term.Load() == nil {
				continue // it is for the leader to do, who knows what is just being claimed
			}
			err = u.Sweep(ctx, u.exists)
		case <-ctx.Done():
			return
		}
		if err != nil && ctx.Err() == nil {
			u.m.log.Warn("cannot remove uploads that nobody uses; trying again later", "error", err)
		}
	}
}

// forgotten is told of tasks that were deleted.
func (u *uploading) forgotten(tasks []string) {
	for _, task := range tasks {
		select {
		case u.gone <- task:
		default:
		}
	}
}

func (u *uploading) exists(ctx context.Context, task string) (bool, error) {
	_, err := u.m.store.Load(ctx, task)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (u *uploading) close() {
	if u.stop != nil {
		u.stop()
		u.work.Wait()
	}
	u.Store.Close()
}
