package dag

import "maps"

// Asked names the outputs that each attempt of a stage has to bring.
type Asked struct {
	// Result asks for the result (Outputs.Result), Params for output parameters.
	Result bool         `json:"r,omitempty"`
	Params []AskedParam `json:"p,omitempty"`
}

// AskedParam is an output parameter. Global, where it is set, is the name by which its value is known to the whole task.
type AskedParam struct {
	Name   string `json:"n"`
	Global string `json:"g,omitempty"`
}

// awaits reports whether the end of an attempt decides, although its program has reported its completion with these outputs:
// because some are missing, or because the stage's output is looked at first.
func (p *Policy) awaits(out *Outputs) bool {
	return p != nil && (p.Checked || p.Captures && !p.Asked.allIn(out))
}

// allIn reports whether nothing is missing. Where it is not known what was asked for, something may be.
func (a *Asked) allIn(out *Outputs) bool {
	if a == nil || out == nil || a.Result && out.Result == nil {
		return false
	}
	for _, p := range a.Params {
		if _, ok := out.Params[p.Name]; !ok {
			return false
		}
	}
	return true
}

// named adds the global names to outputs that a stage has brought. It leaves out itself as it is.
func (p *Policy) named(out *Outputs) *Outputs {
	if p == nil || p.Asked == nil || out == nil {
		return out
	}
	var globals map[string]string
	for _, a := range p.Asked.Params {
		if v, ok := out.Params[a.Name]; ok && a.Global != "" {
			if globals == nil {
				globals = map[string]string{}
				maps.Copy(globals, out.Globals)
			}
			globals[a.Global] = v
		}
	}
	if globals == nil {
		return out
	}
	named := *out
	named.Globals = globals
	return &named
}
