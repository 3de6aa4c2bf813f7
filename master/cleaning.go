package master

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/clic-orchestrator/clic/executors/output"
	"github.com/clic-orchestrator/clic/master/dfs"
	"github.com/clic-orchestrator/clic/master/engine"
	"github.com/clic-orchestrator/clic/master/store"
)

// cleaning deletes outputs of tasks that were deleted: those that the tasks' own plans declare, below the directories of results, and only
// where no other task that is kept declares the same, or something above or below it.
type cleaning struct {
	m    *Master
	gone chan []spot
	stop context.CancelFunc
	work sync.WaitGroup

	mu sync.Mutex
	// claimed are the outputs of tasks that are about to be deleted.
	claimed map[string][]spot
}

// spot is where an output is, or what an attempt has left beside it.
type spot struct {
	name string
	fsys dfs.FS
	at   string
	// own: nobody else can have it.
	own bool
}

func (m *Master) newCleaning() *cleaning {
	// More tasks than are deleted in one go. The outputs of one that does not fit stay, which is said.
	return &cleaning{m: m, gone: make(chan []spot, 1000), claimed: map[string][]spot{}}
}

// claim looks what outputs a task has, so that they are deleted when it is. Only those whose plan says so, unless all.
func (c *cleaning) claim(ctx context.Context, e *engine.Engine, task string, all bool) error {
	outs, err := e.Outputs(ctx, task)
	if err != nil {
		return err
	}
	var places []spot
	for _, out := range outs.Declared {
		if len(out.Attempts) == 0 || !all && !out.Expire {
			continue
		}
		if p, ok := c.place(out.Path); ok {
			places = append(places, p)
		} else {
			c.m.log.Info("an output is not deleted with its task: it is not below the directories of results", "task", task, "output", out.Path)
		}
		for _, id := range out.Attempts {
			if p, ok := c.place(output.Dir(id, out.Path)); ok && out.Publish {
				p.own = true
				places = append(places, p)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(places) > 0 {
		c.claimed[task] = places
	}
	return nil
}

// release takes a claim back.
func (c *cleaning) release(task string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.claimed, task)
}

// place finds an output. Only what is below a directory of results can be deleted, never such a directory itself.
func (c *cleaning) place(name string) (spot, bool) {
	if strings.Contains(name, "{{") {
		return spot{}, false
	}
	fsys, at, err := c.m.files.locate(name, c.m.cfg.ResultDirs)
	if err != nil || at == "/" || path.Clean(at) != at {
		return spot{}, false
	}
	for _, dir := range c.m.cfg.ResultDirs {
		if top, root, err := c.m.files.locate(dir, []string{dir}); err == nil && top == fsys && below(at, root) {
			return spot{}, false // it is one of them, or above one
		}
	}
	return spot{name: name, fsys: fsys, at: at}, true
}

// forgetting claims the outputs of tasks whose time has come.
func (c *cleaning) forgetting(ctx context.Context, e *engine.Engine, tasks []string) {
	for _, task := range tasks {
		if err := c.claim(ctx, e, task, c.m.cfg.DeleteOutputs); err != nil && !errors.Is(err, store.ErrNotFound) {
			c.m.log.Warn("cannot find the outputs of an old task; they stay", "task", task, "error", err)
		}
	}
}

// forgotten is told of tasks that were deleted.
func (c *cleaning) forgotten(tasks []string) {
	for _, task := range tasks {
		c.mu.Lock()
		places := c.claimed[task]
		delete(c.claimed, task)
		c.mu.Unlock()
		if len(places) == 0 {
			continue
		}
		select {
		case c.gone <- places:
		default:
			c.m.log.Warn("too many tasks are deleted at once; the outputs of one stay", "task", task)
		}
	}
}

// start begins to delete.
func (c *cleaning) start() {
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.work.Go(func() {
		for {
			select {
			case places := <-c.gone:
				for range len(c.gone) { // one look at the other tasks for all
					places = append(places, <-c.gone...)
				}
				c.remove(ctx, places)
			case <-ctx.Done():
				return
			}
		}
	})
}

func (c *cleaning) close() {
	if c.stop != nil {
		c.stop()
		c.work.Wait()
	}
}

// removeTime bounds the removal of one output.
const removeTime = 5 * time.Minute

// remove deletes what no other task has.
func (c *cleaning) remove(ctx context.Context, places []spot) {
	others, err := c.others(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.m.log.Warn("cannot look at the outputs of other tasks; those of deleted tasks stay", "error", err)
		}
		return
	}
	for _, p := range places {
		if who := others.conflict(p); who != "" {
			c.m.log.Info("an output is not deleted with its task: another one declares it, or something above or below it", "output", p.name, "other", who)
			continue
		}
		asked, cancel := context.WithTimeout(ctx, removeTime)
		err := p.fsys.Remove(asked, p.at, true)
		cancel()
		switch {
		case err == nil:
			c.m.log.Info("deleted the output of a task that was deleted", "output", p.name)
		case !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil:
			c.m.log.Warn("cannot delete the output of a task that was deleted", "output", p.name, "error", err)
		}
	}
}

// kept are the places that tasks declare which are kept.
type kept []keptSpot

// keptSpot is one of them. What is not known of a path ends it: unless it is whole, all that begins like that may be meant.
type keptSpot struct {
	task  string
	fsys  dfs.FS
	begin string
	whole bool
}

// others lists what all tasks declare that there are.
func (c *cleaning) others(ctx context.Context) (all kept, err error) {
	t := c.m.term.Load()
	if t == nil {
		return nil, fmt.Errorf("this master does not lead: %w", store.ErrUnavailable)
	}
	for cursor := ""; ; {
		page, err := c.m.store.List(ctx, store.Query{Cursor: cursor, Limit: 1000})
		if err != nil {
			return nil, err
		}
		for i := range page.Headers {
			task := page.Headers[i].Task
			outs, err := t.engine.Outputs(ctx, task)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, out := range outs.Declared {
				all = c.declare(all, task, out.Path)
			}
			for _, name := range outs.Open {
				all = c.declare(all, task, name)
			}
		}
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// declare adds a path. One that is not below the directories of results is in nobody's way.
func (c *cleaning) declare(all kept, task, name string) kept {
	begin, _, open := strings.Cut(name, "{{")
	dir, rest := begin, ""
	if open {
		dir, rest = path.Split(begin)
		dir = strings.TrimRight(dir, "/")
	}
	fsys, at, err := c.m.files.locate(dir, c.m.cfg.ResultDirs)
	if err != nil && open {
		// Whatever it becomes may be below any of them.
		for _, top := range c.m.cfg.ResultDirs {
			if fsys, at, err := c.m.files.locate(top, []string{top}); err == nil && (begin == "" || strings.HasPrefix(top, begin)) {
				all = append(all, keptSpot{task, fsys, at, false})
			}
		}
		return all
	}
	if err != nil {
		return all
	}
	if rest != "" {
		at = strings.TrimSuffix(at, "/") + "/" + rest
	}
	return append(all, keptSpot{task, fsys, at, !open})
}

// conflict names a task that declares a place, or something above or below it; "" is none.
func (k kept) conflict(p spot) string {
	if p.own {
		return ""
	}
	for _, o := range k {
		if o.fsys != p.fsys {
			continue
		}
		if below(o.begin, p.at) || below(p.at, o.begin) || !o.whole && (strings.HasPrefix(p.at, o.begin) || strings.HasPrefix(o.begin, p.at+"/")) {
			return o.task
		}
	}
	return ""
}
