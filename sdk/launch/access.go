package launch

import (
	"google.golang.org/grpc"

	"github.com/brock-backup/brock/sdk/internal/access"
)

func init() {
	access.Conns = func(process any) (control, bulk grpc.ClientConnInterface) {
		p := process.(*Process)
		if p.bulk == nil {
			return p.conn, p.conn
		}
		return p.conn, p.bulk.conn
	}
}
