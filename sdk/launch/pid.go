package launch

import "context"

// Pid returns the id of the plugin's process, which it starts if there is none.
func (s *Supervisor) Pid(ctx context.Context) (int, error) {
	p, err := s.process(ctx)
	if err != nil {
		return 0, err
	}
	return p.Pid(), nil
}
