module github.com/clic-orchestrator/clic

go 1.26.0
