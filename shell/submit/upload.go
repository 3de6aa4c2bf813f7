package submit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/clic-orchestrator/clic/idl/gen/master"
	"github.com/clic-orchestrator/clic/shell/client"
	"github.com/clic-orchestrator/clic/shell/exit"
	"github.com/clic-orchestrator/clic/shell/iostreams"
)

// upload is a file that goes along with a plan.
type upload struct {
	parameter, file string
}

// uploads reads the values of --upload.
func uploads(list []string, given map[string]string) ([]upload, error) {
	var all []upload
	seen := map[string]bool{}
	for _, s := range list {
		u := upload{file: s}
		if name, file, ok := strings.Cut(s, "="); ok && name != "" && !strings.ContainsAny(name, `/.\`) {
			u = upload{parameter: name, file: file}
		} else {
			u.parameter = parameterOf(s)
		}
		if u.file == "" {
			return nil, exit.Usagef("--upload: %q names no file", s)
		}
		if _, twice := given[u.parameter]; twice || seen[u.parameter] {
			return nil, exit.Usagef("--upload: the parameter %q is given twice", u.parameter)
		}
		seen[u.parameter] = true
		all = append(all, u)
	}
	return all, nil
}

// parameterOf is the parameter that a file's URI becomes where none is named.
func parameterOf(file string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, filepath.Base(file))
}

// sendAll uploads files, and puts them and their URIs into a submission. A dry run only asks for the URIs.
func sendAll(ctx context.Context, s *iostreams.Streams, c *client.Client, sub *master.Submission, all []upload) error {
	for _, u := range all {
		uri, content, err := sendFile(ctx, s, c, u.file, sub.GetDryRun())
		if err != nil {
			return err
		}
		if sub.Parameters == nil {
			sub.Parameters = map[string]string{}
		}
		sub.Parameters[u.parameter] = uri
		sub.Uploads = append(sub.Uploads, content)
	}
	return nil
}

func sendFile(ctx context.Context, s *iostreams.Streams, c *client.Client, file string, ask bool) (string, *master.Content, error) {
	info, err := os.Stat(file) // opening a pipe would wait for who writes to it
	if err != nil {
		return "", nil, unreadable(file, err)
	}
	if !info.Mode().IsRegular() {
		return "", nil, exit.With(exit.NoInput, fmt.Errorf("cannot upload %q: it is not a file", file), "pack a directory into an archive")
	}
	f, err := os.Open(file)
	if err != nil {
		return "", nil, unreadable(file, err)
	}
	defer f.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err != nil {
		return "", nil, unreadable(file, err)
	}
	content := &master.Content{Sha256: hex.EncodeToString(hash.Sum(nil)), Size: size, Name: filepath.Base(file)}
	state, err := c.Upload(ctx, content, 0, nil)
	if err != nil || ask || state.Complete {
		return state.GetURI(), content, err
	}
	bar := s.Err
	if !s.ErrTerminal || size <= client.UploadPart {
		bar = io.Discard
	}
	part := make([]byte, client.UploadPart)
	for !state.Complete {
		n, err := f.ReadAt(part, state.Offset)
		if n == 0 && size > 0 && err != nil && !errors.Is(err, io.EOF) {
			return "", nil, unreadable(file, err)
		}
		before := state.Offset
		if state, err = c.Upload(ctx, content, before, part[:n]); err != nil {
			fmt.Fprintln(bar)
			return "", nil, err
		}
		// At the end the master may need a while to put all of it where it belongs: an empty part waits for that.
		if !state.Complete && n == 0 && state.Offset == before && before != size {
			return "", nil, exit.With(exit.NoInput, fmt.Errorf("cannot upload %q: it changes while it is read", file), "")
		}
		fmt.Fprintf(bar, "\rUploading %s: %d %%", filepath.Base(file), 100*state.Offset/max(size, 1))
	}
	fmt.Fprintln(bar)
	return state.URI, content, nil
}
