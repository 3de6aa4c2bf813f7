package iostreams

import "testing"

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(k string) string { return m[k] }
}

func TestColour(t *testing.T) {
	tests := []struct {
		name     string
		env      func(string) string
		terminal bool
		want     bool
	}{
		{"a terminal", env("TERM", "xterm"), true, true},
		{"a pipe", env("TERM", "xterm"), false, false},
		{"a dumb terminal", env("TERM", "dumb"), true, false},
		{"NO_COLOR", env("NO_COLOR", "1"), true, false},
		{"an empty NO_COLOR does not count", env("NO_COLOR", ""), true, true},
		{"CLICOLOR_FORCE on a pipe", env("CLICOLOR_FORCE", "1"), false, true},
		{"CLICOLOR_FORCE=0", env("CLICOLOR_FORCE", "0"), false, false},
		{"NO_COLOR goes before CLICOLOR_FORCE", env("CLICOLOR_FORCE", "1", "NO_COLOR", "1"), true, false},
	}
	for _, tc := range tests {
		if got := colour(tc.env, tc.terminal); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestLocale(t *testing.T) {
	for want, envs := range map[bool][]func(string) string{
		true:  {env("LANG", "C.UTF-8"), env("LC_CTYPE", "de_DE.utf8", "LANG", "C"), env("LC_ALL", "en_US.UTF-8", "LC_CTYPE", "C")},
		false: {env(), env("LANG", "C"), env("LC_ALL", "C", "LANG", "C.UTF-8"), env("LANG", "de_DE.ISO-8859-1")},
	} {
		for i, e := range envs {
			if got := localeIsUTF8(e); got != want {
				t.Errorf("%v, %d: %v", want, i, got)
			}
		}
	}
}

func TestSize(t *testing.T) {
	s, _, _, _ := Test()
	if c, r := s.Size(); c != 80 || r != 24 {
		t.Errorf("%d×%d", c, r)
	}
	s.SetSize(100, 0)
	if c, r := s.Size(); c != 100 || r != 24 {
		t.Errorf("%d×%d", c, r)
	}
}
