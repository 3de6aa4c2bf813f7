package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// An image is what becomes an archive: layers, the lowest first, and how a container of it runs.
type image struct {
	tags         []string // NAME:TAG, what containers name it by
	layers       []tree
	config       runConfig
	architecture string    // as Go calls it
	created      time.Time // of the image and of all files in it
}

// runConfig is the part of an image's configuration that says how it runs, in the words of the OCI image specification.
type runConfig struct {
	User       string            `json:"User,omitempty"`
	Env        []string          `json:"Env,omitempty"`
	Entrypoint []string          `json:"Entrypoint,omitempty"`
	Cmd        []string          `json:"Cmd,omitempty"`
	WorkingDir string            `json:"WorkingDir,omitempty"`
	Labels     map[string]string `json:"Labels,omitempty"`
	// ExposedPorts has the keys "7777/tcp"; the values are empty objects.
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
}

// imageConfig is the configuration that an image is identified by.
type imageConfig struct {
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Created      time.Time `json:"created"`
	Config       runConfig `json:"config"`
	RootFS       rootFS    `json:"rootfs"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// manifestEntry is the one element of an archive's manifest.json.
type manifestEntry struct {
	Config   string   `json:"Config"`
	RepoTags []string `json:"RepoTags"`
	Layers   []string `json:"Layers"`
}

// A part is one file of the archive; its content is in a file (source) or here (text).
type part struct {
	name   string
	source string
	text   []byte
}

// writeFile writes the image to a file, which appears whole or not at all.
func (i *image) writeFile(file string) error {
	// Layers are written beside the archive first: their names in it are the hashes of their content.
	work, err := os.MkdirTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("cannot write the image: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // nothing of value is left in it
	parts, err := i.parts(work)
	if err != nil {
		return err
	}
	whole := filepath.Join(work, "archive")
	if err := writeParts(whole, parts, i.created); err != nil {
		return fmt.Errorf("cannot write the image: %w", err)
	}
	if err := os.Rename(whole, file); err != nil {
		return fmt.Errorf("cannot write the image: %w", err)
	}
	return nil
}

// parts makes what the archive consists of; layers are written to files in the directory work.
func (i *image) parts(work string) ([]part, error) {
	config := imageConfig{
		Architecture: i.architecture, OS: "linux", Created: i.created.UTC(), Config: i.config, RootFS: rootFS{Type: "layers"},
	}
	manifest := manifestEntry{RepoTags: i.tags}
	var parts []part
	for n, layer := range i.layers {
		file := filepath.Join(work, fmt.Sprintf("layer-%d", n))
		sum, err := writeLayer(file, layer, i.created)
		if err != nil {
			return nil, err
		}
		name := sum + "/layer.tar"
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, "sha256:"+sum)
		manifest.Layers = append(manifest.Layers, name)
		parts = append(parts, part{name: name, source: file})
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("cannot write the image's configuration: %w", err)
	}
	sum := sha256.Sum256(text)
	manifest.Config = hex.EncodeToString(sum[:]) + ".json"
	list, err := json.Marshal([]manifestEntry{manifest})
	if err != nil {
		return nil, fmt.Errorf("cannot write the image's manifest: %w", err)
	}
	return append(parts, part{name: manifest.Config, text: text}, part{name: "manifest.json", text: list}), nil
}

// writeLayer writes a layer to a file and gives the SHA-256 of it in hexadecimal.
func writeLayer(file string, layer tree, at time.Time) (sum string, err error) {
	f, err := os.Create(file)
	if err != nil {
		return "", fmt.Errorf("cannot write a layer: %w", err)
	}
	hash := sha256.New()
	err = layer.write(io.MultiWriter(f, hash), at)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// writeParts writes the archive itself.
func writeParts(file string, parts []part, at time.Time) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(f)
	// Two layers of the same content are one file of the archive.
	written := map[string]bool{}
	for _, p := range parts {
		if written[p.name] {
			continue
		}
		written[p.name] = true
		if err = writeEntry(archive, p.name, entry{mode: 0o644, source: p.source, text: p.text}, at); err != nil {
			break
		}
	}
	if err == nil {
		err = archive.Close()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}
