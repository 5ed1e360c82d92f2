package http2

import "sync"

// A task is what a worker does.
type task interface{ run() }

// workers are goroutines that wait for something to do, the one that waited least
// first: its stack is warm and large enough. They exist while there are connections.
type workers struct {
	mu   sync.Mutex
	idle []*worker
	open bool // false: nobody is to wait
}

type worker struct{ next chan task }

// do runs t on a goroutine of its own.
func (p *workers) do(t task) {
	p.mu.Lock()
	last := len(p.idle) - 1
	if last < 0 {
		p.mu.Unlock()
		go p.work(t)
		return
	}
	w := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	p.mu.Unlock()
	w.next <- t
}

func (p *workers) work(t task) {
	w := &worker{make(chan task, 1)}
	for t != nil {
		t.run()
		if !p.wait(w) {
			return
		}
		t = <-w.next
	}
}

// wait enters w among those that wait, if it may.
func (p *workers) wait(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open || len(p.idle) >= maxIdleWorkers {
		return false
	}
	p.idle = append(p.idle, w)
	return true
}

func (p *workers) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = true
}

// stop ends those that wait.
func (p *workers) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
	for _, w := range p.idle {
		w.next <- nil
	}
	p.idle = nil
}
