package console

import "time"

// Status is how a master is at one moment: the answer of /status, as JSON.
type Status struct {
	// Ready is set while calls are answered: this master leads, or follows one that does. Reason says why it is not.
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
	// Role is "leader", "follower" or "single" (the store serves one master only).
	Role string `json:"role"`
	// Epoch is that of the lead, 0 if it is not known.
	Epoch uint64 `json:"epoch"`
	// Address is where this master serves calls, Leader where the leading one does, "" if there is none.
	Address string   `json:"address"`
	Leader  string   `json:"leader"`
	Members []Member `json:"members"`
	Store   Store    `json:"store"`
	// ActiveTasks and ActiveStages are those that this master has in memory, because it leads.
	ActiveTasks  int `json:"activeTasks"`
	ActiveStages int `json:"activeStages"`
	// Executors are those of the stages; empty where this master does not lead.
	Executors []Executor `json:"executors"`
	Version   string     `json:"version"`
	Started   time.Time  `json:"started"`
	// UptimeSeconds is set by the console.
	UptimeSeconds int64 `json:"uptimeSeconds"`
}

// Member is a master of several that share a store.
type Member struct {
	ID      string    `json:"id"`
	Address string    `json:"address"`
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Started time.Time `json:"started,omitzero"`
	Leads   bool      `json:"leads"`
	// SilentMillis is how long ago it last gave a sign of life.
	SilentMillis int64 `json:"silentMillis"`
}

// Executor is what runs stages.
type Executor struct {
	Name string `json:"name"`
	// Trouble is why it can do nothing at the moment, TroubleSince since when; "" and zero while it works.
	Trouble      string    `json:"trouble,omitempty"`
	TroubleSince time.Time `json:"troubleSince,omitzero"`
}

// Store is where the state is kept.
type Store struct {
	// Name is its URL, without a password.
	Name      string `json:"name"`
	Reachable bool   `json:"reachable"`
	// StaleSince is since when what this master says may be out of date, because the store cannot be reached; zero if it is not.
	// Trouble says why.
	StaleSince time.Time `json:"staleSince,omitzero"`
	Trouble    string    `json:"trouble,omitempty"`
}
