package master

import (
	"os"
	"strings"
	"testing"
)

// The configurations that people are shown are valid, in both languages.
func TestConfigurationsInTheReadme(t *testing.T) {
	for _, file := range []string{"../README.md", "../README.zh-CN.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			block, _, _ = strings.Cut(block, "```")
			if strings.HasPrefix(block, "apiVersion:") {
				continue // a plan
			}
			found++
			c := Config{DataDir: "/d"}
			if err := c.Load(file, []byte(block)); err != nil {
				t.Error(err)
				continue
			}
			if err := c.WithDefaults().Validate(); err != nil {
				t.Errorf("%s: %v\n%s", file, err, block)
			}
		}
		if found != 3 {
			t.Errorf("%s: %d configurations, want 3", file, found)
		}
	}
	c := Config{}
	if err := c.LoadFile("../deploy/kubernetes/base/clic-master.yaml"); err != nil {
		t.Error(err)
	} else if err := c.WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
}
