//! Locks that ignore poisoning.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A mutex whose data is valid after every statement, so that poisoning can be ignored.
pub trait MutexExt<T> {
    /// Locks the mutex, even after a panic of another holder.
    fn lock_any(&self) -> MutexGuard<'_, T>;
}

impl<T> MutexExt<T> for Mutex<T> {
    fn lock_any(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counterpart of [`MutexExt`] for reader-writer locks.
pub trait RwLockExt<T> {
    /// Locks for reading, even after a panic of a writer.
    fn read_any(&self) -> RwLockReadGuard<'_, T>;

    /// Locks for writing, even after a panic of another writer.
    fn write_any(&self) -> RwLockWriteGuard<'_, T>;
}

impl<T> RwLockExt<T> for RwLock<T> {
    fn read_any(&self) -> RwLockReadGuard<'_, T> {
        self.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_any(&self) -> RwLockWriteGuard<'_, T> {
        self.write().unwrap_or_else(PoisonError::into_inner)
    }
}
