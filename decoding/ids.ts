/**
 * Branded integers: values that look alike but must never be swapped.
 * A brand costs nothing at run time.
 */
declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** Index into the target model's vocabulary. */
export type TokenId = Branded<"TokenId">;

/** A draft-tree node (or a prompt token), unique within one session; assigned by the tree manager. */
export type NodeId = Branded<"NodeId">;

/** Number of a placement; a message that carries an older one is dropped. */
export type Epoch = Branded<"Epoch">;

export const tokenId = (value: number): TokenId => value as TokenId;
export const nodeId = (value: number): NodeId => value as NodeId;
export const epoch = (value: number): Epoch => value as Epoch;

/** Parent of the first node of a session, which has none. */
export const NO_NODE = 0xffff_ffff as NodeId;
