module tutti.dev/lab/pause

go 1.20
