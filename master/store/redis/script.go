package redis

import (
	"crypto/sha1" // how Redis names a script
	"embed"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script is a Lua script and the name by which a server knows it.
type script struct {
	name, text string
	// sha is an any that holds a string, so that it is not boxed for every call.
	sha any
}

// scripts are all that are called. A connection has the server load them, before it is used.
type scripts struct {
	update, create, stages, remove, unlink, index, raise, mark, lead, campaign, settle, resign, members, load script
}

func (s *scripts) all() []*script {
	return []*script{
		&s.update, &s.create, &s.stages, &s.remove, &s.unlink, &s.index, &s.raise, &s.mark, &s.lead, &s.campaign, &s.settle, &s.resign,
		&s.members, &s.load,
	}
}

// newScripts puts each script together with the parts that it stands on.
func newScripts() (*scripts, error) {
	s := &scripts{}
	for _, c := range []struct {
		to    *script
		parts []string
	}{
		{&s.update, []string{"fence", "nodes", "update"}},
		{&s.create, []string{"fence", "nodes", "create"}},
		{&s.stages, []string{"fence", "nodes", "stages"}},
		{&s.remove, []string{"fence", "delete"}},
		{&s.unlink, []string{"fence", "unlink"}},
		{&s.index, []string{"fence", "index"}},
		{&s.raise, []string{"raise"}},
		{&s.mark, []string{"fence", "mark"}},
		{&s.lead, []string{"life", "lead"}},
		{&s.campaign, []string{"life", "campaign"}},
		{&s.settle, []string{"life", "settle"}},
		{&s.resign, []string{"resign"}},
		{&s.members, []string{"members"}},
		{&s.load, []string{"load"}},
	} {
		var text strings.Builder
		for _, part := range c.parts {
			b, err := luaFiles.ReadFile(path.Join("lua", part+".lua"))
			if err != nil {
				return nil, fmt.Errorf("cannot read script: %w", err)
			}
			text.Write(b)
		}
		sum := sha1.Sum([]byte(text.String()))
		*c.to = script{name: c.parts[len(c.parts)-1], text: text.String(), sha: hex.EncodeToString(sum[:])}
	}
	return s, nil
}
