package follow

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/idl/gen/master"
)

const (
	// second is how often the view is drawn anew only because time has passed.
	second = time.Second
	// between is the least time between two reads of the task's state, however fast events come. Where a read takes long,
	// it is share times as long, so that watching costs the master little.
	between = 100 * time.Millisecond
	share   = 5
	// whole is the size up to which all stages of a task are read; of larger ones only those that something can be said of.
	whole = 300
)

// live shows the task on a terminal.
func live(ctx context.Context, o Options) (*master.TaskInfo, error) {
	ctx, cancel := context.WithCancel(ctx)
	var producer sync.WaitGroup
	defer producer.Wait()
	defer cancel()

	changed := make(chan struct{}, 1) // something happened since the last read
	notices := make(chan string)
	ended := make(chan error, 1)
	notify := func(text string) {
		select {
		case notices <- text:
		case <-ctx.Done():
		}
	}
	producer.Go(func() {
		ended <- pages(ctx, o, notify, func(*master.EventPage) error {
			select {
			case changed <- struct{}{}:
			default:
			}
			return nil
		})
	})

	v := &viewer{o: o, screen: newScreen(o.IO)}
	defer v.screen.close()
	if err := v.read(ctx); err != nil {
		return nil, err
	}
	if err := v.loop(ctx, changed, notices, ended); err != nil {
		return nil, err
	}
	// The last word: what the task is now that it has ended.
	if err := Persist(ctx, func(text string) { v.notice = text }, v.read); err != nil {
		return nil, err
	}
	v.notice, v.remark = "", ""
	return v.task, v.draw()
}

// viewer is the state of a live view.
type viewer struct {
	o      Options
	screen *screen
	task   *master.TaskInfo
	stages []*master.StageInfo
	notice string // of a master that is away
	remark string // of the caller
}

// loop draws until the producer has ended.
func (v *viewer) loop(ctx context.Context, changed <-chan struct{}, notices <-chan string, ended <-chan error) error {
	ticker := time.NewTicker(second)
	defer ticker.Stop()
	var due <-chan time.Time // a read that waits for its time
	last, pause := time.Time{}, between
	for {
		if err := v.draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return err
		case v.notice = <-notices:
		case v.remark = <-v.o.Notices:
		case <-changed:
			if due == nil {
				due = time.After(pause - min(pause, time.Since(last)))
			}
		case <-due:
			// A master that is away is the producer's business: it waits and tells.
			begin := time.Now()
			err := v.read(ctx)
			due, last, pause = nil, time.Now(), max(between, share*time.Since(begin))
			if err != nil {
				if _, ok := passing(err); !ok {
					return err
				}
			} else {
				v.notice = ""
			}
		case <-v.o.Resized:
			v.screen.resized()
		case <-ticker.C:
		}
	}
}

// telling are the states of stages that are read of a large task.
func telling() []master.StageState {
	return []master.StageState{
		master.StageState_LAUNCHING, master.StageState_RUNNING, master.StageState_PREPARED, master.StageState_FAILED,
		master.StageState_SUSPEND, master.StageState_RETRYING, master.StageState_CANCELLING, master.StageState_CANCELLED,
	}
}

// read asks the master for the state of the task.
func (v *viewer) read(ctx context.Context) error {
	t, err := v.o.Service.GetTask(ctx, v.o.Task)
	if err != nil {
		return err
	}
	q := &master.StageQuery{TaskName: v.o.Task, Explain: new(true), Limit: new(int32(whole))}
	if t.Stages > whole {
		q.States = telling()
	}
	page, err := v.o.Service.ListStages(ctx, q)
	if err != nil {
		return err
	}
	v.task, v.stages = t, page.Stages
	return nil
}

func (v *viewer) draw() error {
	columns, rows := v.o.IO.Size()
	return v.screen.show(Frame(v.task, v.stages, Look{
		Columns: columns, Rows: rows, Style: v.o.IO.Style(), UTF8: v.o.IO.UTF8, Now: v.o.Now(), Notice: cmp.Or(v.notice, v.remark),
	}))
}
