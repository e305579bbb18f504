import { number } from "../format.ts";
import type { NodeInfo } from "./api.ts";
import { TableScroller } from "./TableScroller.tsx";

/** The nodes of the cluster, as the node that answers knows them. */
export function Nodes({ nodes, answering }: { nodes: readonly NodeInfo[]; answering: string }) {
  if (nodes.length === 0) return null;
  const hasRegions = nodes.some(({ region }) => region !== "");
  return (
    <section className="panel" aria-labelledby="admin-nodes">
      <h2 id="admin-nodes">
        Nodes <span>{number(nodes.length)}</span>
      </h2>
      <TableScroller label="Nodes of the cluster">
        <table>
          <thead>
            <tr>
              <th scope="col">Node</th>
              <th scope="col">Address</th>
              {hasRegions && <th scope="col">Region</th>}
              <th scope="col">Connections</th>
              <th scope="col">State</th>
            </tr>
          </thead>
          <tbody>
            {nodes.map((node) => (
              <tr key={node.node}>
                <th scope="row">
                  {node.node}
                  {node.node === answering && <span className="tag">answers you</span>}
                </th>
                <td>{node.address}</td>
                {hasRegions && <td>{node.region}</td>}
                <td>
                  <Load {...node} />
                </td>
                <td>{node.draining ? <span className="tag tag-warning">draining</span> : "serving"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </TableScroller>
    </section>
  );
}

function Load({ connections, max_connections }: NodeInfo) {
  if (!(max_connections > 0)) return number(connections);
  return (
    <span className="load">
      <meter min={0} max={max_connections} value={connections} aria-hidden="true" />
      {number(connections)} of {number(max_connections)}
    </span>
  );
}
